"""Call a search from Python and look at what it found."""

import tempfile
from pathlib import Path

import search


def main(trials: int = 8, epochs: int | None = None) -> None:
    folder = Path(tempfile.mkdtemp()) / "run"
    run = search.search("500K", "digits", trials=trials, epochs=epochs, out=str(folder))
    for record in run.front:
        print(f"{record.flops:>9,} FLOPs  {record.accuracy:.3f}  trial {record.trial}")
    print(run.to_frame()[["trial", "flops", "accuracy", "state"]])
    print(f"The report is {folder / 'report.html'}; go on by search.resume({str(folder)!r}).")


if __name__ == "__main__":
    main()
