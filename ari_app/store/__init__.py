"""SQL of the Stasis application, one module per subject."""
