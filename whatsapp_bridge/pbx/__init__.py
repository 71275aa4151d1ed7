"""The bridge's two ways into Asterisk: calls by ARI, media by websocket."""
