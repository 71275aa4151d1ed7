"""What a caller goes through, one module per flow."""
