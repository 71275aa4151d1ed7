"""Meta's side of WhatsApp calling: Graph API, webhooks, media relay and headless phones, for tests and demos."""
