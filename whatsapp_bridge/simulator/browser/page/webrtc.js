// The call as the browser's WebRTC has it: one connection, one microphone, one loudspeaker.

const GATHERING_MS = 3000;

export async function microphone() {
  // Echo cancellation and the like would disturb measurements: /phone?raw leaves the sound as it is.
  const raw = new URLSearchParams(location.search).has("raw");
  const processing = raw
    ? { echoCancellation: false, noiseSuppression: false, autoGainControl: false }
    : { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  if (!navigator.mediaDevices) {
    throw new Error("This address is not a secure context. Open the phone as http://127.0.0.1 or over HTTPS.");
  }
  return navigator.mediaDevices.getUserMedia({ audio: processing });
}

export class Media {
  #peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  #sender = null;
  #stream;
  #track;

  constructor(stream, { onTrack, onFailure }) {
    this.#stream = stream;
    [this.#track] = stream.getAudioTracks();
    this.#peer.addEventListener("track", (event) => onTrack(event.streams[0] ?? new MediaStream([event.track])));
    this.#peer.addEventListener("connectionstatechange", () => {
      if (this.#peer.connectionState === "failed") onFailure();
    });
  }

  async offer() {
    return this.#describe();
  }

  async answer(sdp) {
    await this.#peer.setRemoteDescription({ type: "offer", sdp });
    return this.#describe();
  }

  async take(sdp) {
    await this.#peer.setRemoteDescription({ type: "answer", sdp });
  }

  async #describe() {
    this.#sender = this.#peer.addTrack(this.#track, this.#stream);
    await this.#peer.setLocalDescription();
    await this.#gathered();
    const { sdp } = this.#peer.localDescription;
    await this.#sender.replaceTrack(null); // nobody is heard before the call is accepted
    return sdp;
  }

  #gathered() {
    const peer = this.#peer;
    return new Promise((resolve) => {
      const limit = setTimeout(resolve, GATHERING_MS); // what was found by then has to do
      const look = () => {
        if (peer.iceGatheringState !== "complete") return;
        clearTimeout(limit);
        resolve();
      };
      peer.addEventListener("icegatheringstatechange", look);
      look();
    });
  }

  async speak() {
    await this.#sender.replaceTrack(this.#track);
  }

  set muted(on) {
    this.#track.enabled = !on;
  }

  press(digits, duration, gap) {
    const keys = this.#sender?.dtmf;
    if (!keys?.canInsertDTMF) return false;
    keys.insertDTMF(keys.toneBuffer + digits, duration, gap);
    return true;
  }

  async stats() {
    const facts = { connected: this.#peer.connectionState === "connected", failed: this.#peer.connectionState === "failed" };
    for (const entry of (await this.#peer.getStats()).values()) {
      if (entry.type === "inbound-rtp" && entry.kind === "audio") {
        facts.packets_in = entry.packetsReceived;
        facts.bytes_in = entry.bytesReceived;
        facts.jitter_s = entry.jitter ?? 0;
      } else if (entry.type === "outbound-rtp" && entry.kind === "audio") {
        facts.packets_out = entry.packetsSent;
        facts.bytes_out = entry.bytesSent;
      } else if (entry.type === "transport" && ["client", "server"].includes(entry.dtlsRole)) {
        facts.role = entry.dtlsRole;
      }
    }
    return facts;
  }

  close() {
    this.#peer.close();
    for (const track of this.#stream.getTracks()) track.stop();
  }
}
