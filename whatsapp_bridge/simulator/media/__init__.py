"""What a call's sound passes through: ICE-lite, DTLS, SRTP, pacing, Opus, DTMF, recording."""
