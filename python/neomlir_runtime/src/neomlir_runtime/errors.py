"""What goes wrong, named as in `neomlir.errors`."""


class NeoError(Exception):
    """Base of all errors of this package."""


class ArtifactError(NeoError):
    """A `.neo` file cannot be read, is damaged, or of another version or machine."""


class ModelError(NeoError):
    """A model was called with the wrong arrays, or failed while running."""
