"""Media: the WebRTC leg to Meta's relay, the websocket leg to Asterisk, and the relay between them."""
