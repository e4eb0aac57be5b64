"""The modules of parts, and the network that is put together from them. Torch lives here."""
