"""Meta's side of the bridge: webhooks in, Graph API out."""
