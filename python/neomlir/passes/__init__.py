"""The passes of Neo: one file a pass, named after its textual name (`neo-form-kernels` is `form_kernels.py`)."""
