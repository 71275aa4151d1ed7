"""The PBX side of asterisk-whatsapp: a Stasis application of Asterisk."""
