"""Elementary functions on f32 as straight-line code; one file a family."""
