"""`python -m search --budget 2M` is `vit-frontier search --budget 2M`."""

import sys

from search.commands.app import COMMANDS, OPTIONS, main

if __name__ == "__main__":
    if not (len(sys.argv) > 1 and sys.argv[1] in (*COMMANDS, *OPTIONS)):
        sys.argv.insert(1, "search")
    main()
