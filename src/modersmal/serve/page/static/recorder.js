// A recording from the microphone, and what to do where there is none to be had.

const QUIET = 0.01; // of full scale; rooms are louder, a microphone that is switched off is not
const QUIET_S = 3;
const FORMATS = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];

/** The key of the sentence that helps with what went wrong. */
export function microphoneTrouble(error) {
  if (!window.isSecureContext) return "microphone_insecure";
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) return "microphone_old_browser";
  return {
    NotAllowedError: "microphone_denied",
    SecurityError: "microphone_denied",
    NotFoundError: "microphone_missing",
    OverconstrainedError: "microphone_missing",
    NotReadableError: "microphone_taken",
    AbortError: "microphone_taken",
  }[error?.name] ?? "microphone_failed";
}

/** A file of what a recorder gave. */
export function recordingOf(chunks) {
  const type = chunks[0]?.type.split(";")[0] ?? "audio/webm";
  const ending = { "audio/webm": "webm", "audio/mp4": "m4a", "audio/ogg": "ogg" }[type] ?? "webm";
  return new File(chunks, `recording.${ending}`, { type });
}

export class Recorder {
  /**
   * `tick` is told {seconds, level 0..1, silent}, `ended` that the microphone went away, and
   * `chunk` each second's worth: its number, its content.
   */
  constructor({ tick, ended, chunk }) {
    Object.assign(this, { tick, ended, chunk });
  }

  /** Ask for the microphone and begin. Raises what the browser says. */
  async start() {
    if (!navigator.mediaDevices) throw new Error("no microphone");
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true },
    });
    const mimeType = FORMATS.find((format) => MediaRecorder.isTypeSupported(format));
    this.recorder = new MediaRecorder(this.stream, { mimeType, audioBitsPerSecond: 64000 });
    this.chunks = [];
    this.recorder.ondataavailable = (event) => event.data.size && this.chunk(this.chunks.push(event.data), event.data);
    this.stream.getAudioTracks()[0].addEventListener("ended", () => this.ended());
    this.recorder.start(1000);
    this.seconds = 0;
    this.since = performance.now();
    this.heardAt = 0;
    this.#listen();
    this.lock = await navigator.wakeLock?.request("screen").catch(() => null);
  }

  get paused() {
    return this.recorder.state === "paused";
  }

  pause() {
    if (this.paused) {
      this.recorder.resume();
      this.since = performance.now();
    } else {
      this.seconds = this.#elapsed();
      this.recorder.pause();
    }
  }

  /** End the recording; gives it as a file. */
  async stop() {
    const stopped = new Promise((resolve) => this.recorder.addEventListener("stop", resolve, { once: true }));
    if (this.recorder.state === "inactive") this.#close();
    else {
      this.recorder.stop();
      await stopped;
      this.#close();
    }
    return recordingOf(this.chunks);
  }

  #elapsed() {
    return this.seconds + (this.paused ? 0 : (performance.now() - this.since) / 1000);
  }

  #listen() {
    this.context = new AudioContext();
    const meter = this.context.createAnalyser();
    meter.fftSize = 1024;
    this.context.createMediaStreamSource(this.stream).connect(meter);
    const samples = new Float32Array(meter.fftSize);
    this.timer = setInterval(() => {
      meter.getFloatTimeDomainData(samples);
      const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      const seconds = this.#elapsed();
      if (peak > QUIET || this.paused) this.heardAt = seconds;
      this.tick({
        seconds,
        level: this.paused ? 0 : Math.min(1, Math.sqrt(peak)),
        silent: seconds - this.heardAt > QUIET_S,
      });
    }, 80);
  }

  #close() {
    clearInterval(this.timer);
    this.context.close();
    this.stream.getTracks().forEach((track) => track.stop());
    this.lock?.release();
  }
}
