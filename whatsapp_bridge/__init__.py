"""The Meta side of asterisk-whatsapp: webhooks, Graph API, WebRTC, and the media websocket of Asterisk."""
