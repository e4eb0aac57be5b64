"""The options of the commands, each written once: its type and what --help says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

# Those of a search.
Budget = Annotated[str, Option(help="FLOPs of one image: 2M, 1.3G, or an architecture's name.")]
MaxParams = Annotated[str | None, Option(help="Most parameters, such as 5M.")]
Space = Annotated[str | None, Option(help="A built-in space or a .toml file. [fits the images]")]
Init = Annotated[
    str | None,
    Option(
        help="A pretrained ViT to begin from: a name of timm's, its folder, its file, RUN:TRIAL."
    ),
]
Teacher = Annotated[
    str | None,
    Option(
        help="Learn from a trained network: RUN:TRIAL, a folder, a safetensors file, timm's name."
    ),
]
Data = Annotated[str, Option(help="digits, an image folder, or a name timm.data knows.")]
DataRoot = Annotated[str | None, Option(help="Where a timm dataset lies or is downloaded to.")]
ImgSize = Annotated[
    int | None, Option(help="Pixels the images are resized to. [of --space FILE, or up to 64]")
]
TrainSamples = Annotated[int | None, Option(help="Most images to train on. [all]")]
ValSamples = Annotated[int | None, Option(help="Most images to validate on.")]
Trials = Annotated[int, Option(help="Trainings, baselines included.")]
TimeLimit = Annotated[str | None, Option(help="Stop after 90s, 15m, 2h; the run can be resumed.")]
Proxy = Annotated[
    str, Option(help="fast, balanced or faithful: a tenth, a fifth or all of the epochs.")
]
Epochs = Annotated[int | None, Option(help="Epochs of a training. [as --proxy says]")]
RecipeFile = Annotated[
    str | None, Option(help="A TOML file of fields of trainers.Recipe. [tuned on the data's kind]")
]
LearningRate = Annotated[
    float | None,
    Option(help="Peak learning rate where the blocks' widths sum to 256. [of the recipe]"),
]
BatchSize = Annotated[int | None, Option(help="Images of one step. [of the recipe]")]
Augment = Annotated[
    str | None, Option(help="none, crop, crop_flip, or auto: no flips for digits and letters.")
]
Metric = Annotated[
    str, Option(help="What networks are compared by: accuracy, balanced_accuracy, top5 or f1.")
]
Sampler = Annotated[str, Option(help="frontier, tpe, nsga2, gp or random.")]
EarlyStopping = Annotated[
    bool, Option(help="Stop trials expected to add next to nothing to the frontier.")
]
Baselines = Annotated[bool, Option(help="Train plain ViTs first, to compare with.")]
Seed = Annotated[int, Option(help="Same seed and one worker: the same records.")]
Workers = Annotated[str, Option(help="Trials at a time, or auto.")]
CpusPerTrial = Annotated[float, Option(help="CPU cores of one trial.")]
GpusPerTrial = Annotated[
    float | None, Option(help="GPUs of one trial; may be a fraction. [1 if there is one]")
]
CudaGraphs = Annotated[
    bool, Option(help="Replay steps from CUDA graphs on GPUs; not measured on one yet.")
]
Silence = Annotated[str, Option(help="Kill a worker that reports nothing for that long.")]
Address = Annotated[str | None, Option(help="A running Ray cluster: auto or host:port.")]
Storage = Annotated[str | None, Option(help="An Optuna storage URL. [RUN/study.db]")]
Log = Annotated[
    str | None, Option(help="Also tell tensorboard, wandb, mlflow, trackio; commas between.")
]
Out = Annotated[str | None, Option(help="The run folder. [runs/<data>-<budget>]")]
DryRun = Annotated[bool, Option("--dry-run", help="Check and print what would run.")]
Confirm = Annotated[
    bool | None,
    Option(
        "--confirm/--no-confirm",
        help="Then train in full, by other seeds, what may be best. [with a short --proxy, unless "
        "--epochs or --time-limit is given]",
    ),
]

# Those of a confirmation: None leaves it as it was.
Top = Annotated[
    int | None, Option(help="Most networks that are or may be members, baselines apart. [all]")
]
Seeds = Annotated[int | None, Option(help="Most trainings of a network. [3]")]
ConfirmEpochs = Annotated[int | None, Option(help="Epochs of a training. [as --proxy faithful]")]
Controls = Annotated[int | None, Option(help="Other networks, evenly over log FLOPs. [8]")]
ConfirmLimit = Annotated[str | None, Option(help="Stop after 90s, 15m, 2h; the same goes on.")]

# Those of a run that is there: None leaves it as it was.
RunFolder = Annotated[Path, Argument(metavar="RUN", help="A run folder, runs/<name>.")]
TrialsInAll = Annotated[int | None, Option(help="Trainings in all. [as before]")]
AnotherLimit = Annotated[str | None, Option(help="Stop after 90s, 15m, 2h.")]
OtherWorkers = Annotated[str | None, Option(help="Trials at a time, or auto.")]
OtherCpus = Annotated[float | None, Option(help="CPU cores of one trial.")]
OtherGpus = Annotated[float | None, Option(help="GPUs of one trial.")]
AnotherAddress = Annotated[
    str | None, Option(help="Another Ray cluster, or local: this machine alone.")
]

Json = Annotated[bool, Option("--json", help="Print one JSON line to stdout at the end.")]
