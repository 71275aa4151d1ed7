// What the phone itself sounds: ringback, ring, the digits' tones, and meters of what is said.

const RINGBACK = { on: 1, off: 4, hertz: [425], volume: 0.04 };
const RING = { on: 1, off: 2, hertz: [523, 659], volume: 0.06 };
const ROWS = [697, 770, 852, 941];
const COLUMNS = [1209, 1336, 1477];
const KEYS = ["123", "456", "789", "*0#"];
const DIGIT_S = 0.12;

export class Tones {
  #context = null;
  #stop = () => {};

  get context() {
    this.#context ??= new AudioContext();
    if (this.#context.state === "suspended") this.#context.resume();
    return this.#context;
  }

  ringback() {
    this.#repeat(RINGBACK);
  }

  ring() {
    this.#repeat(RING);
  }

  quiet() {
    this.#stop();
    this.#stop = () => {};
  }

  digit(key) {
    const row = KEYS.findIndex((keys) => keys.includes(key));
    if (row < 0) return;
    const gain = this.#gain(0.05);
    for (const hertz of [ROWS[row], COLUMNS[KEYS[row].indexOf(key)]]) this.#tone(gain, hertz, DIGIT_S);
  }

  // Calls `show` with the peak of the stream, 0 to 1, until the function that is returned is called.
  meter(stream, show) {
    const source = this.context.createMediaStreamSource(stream);
    const analyser = this.context.createAnalyser();
    analyser.fftSize = 1024;
    source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      let peak = 0;
      for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
      show(Math.min(1, Math.sqrt(peak)));
    }, 100);
    return () => {
      clearInterval(timer);
      source.disconnect();
      show(0);
    };
  }

  #repeat({ on, off, hertz, volume }) {
    this.quiet();
    const gain = this.#gain(volume);
    const once = () => hertz.forEach((each) => this.#tone(gain, each, on));
    once();
    const timer = setInterval(once, (on + off) * 1000);
    this.#stop = () => {
      clearInterval(timer);
      gain.disconnect();
    };
  }

  #gain(volume) {
    const gain = this.context.createGain();
    gain.gain.value = volume;
    gain.connect(this.context.destination);
    return gain;
  }

  #tone(gain, hertz, seconds) {
    const tone = this.context.createOscillator();
    tone.frequency.value = hertz;
    tone.connect(gain);
    tone.start();
    tone.stop(this.context.currentTime + seconds);
  }
}
