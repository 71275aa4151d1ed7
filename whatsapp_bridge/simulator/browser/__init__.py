"""The phone in the browser: a WhatsApp user whose WebRTC is the browser's own, and whose media goes past our relay."""
