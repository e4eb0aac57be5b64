"""Where in the depth a kind of part may stand: `Among` the blocks, or `After` some of them. A
placement gives its genes, decodes, encodes, counts and enumerates; it knows no kind."""

# A part declares its placement with the table of a space file, its choices and their defaults. A
# search space binds it to the choices of its file.

from space.placements.after import After
from space.placements.among import Among
from space.placements.placement import Params, Placement

__all__ = ["After", "Among", "Params", "Placement"]
