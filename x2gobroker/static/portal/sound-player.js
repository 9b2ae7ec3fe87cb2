// Plays chunks of sound as they come: as few of them wait as the network allows, and what is late is left out.
// It gets a MessagePort; over that come chunks (ArrayBuffer, see remote/sound/messages.py), and null: it is quiet now.
const FULL = 0;
const SECOND = 48000; // samples
const LEAST = 0.04 * SECOND; // that wait before any is played,
const MOST = 0.16 * SECOND; // and with a network that is uneven
const MORE = 0.02 * SECOND; // for each time that there were too few
const SLACK = 0.03 * SECOND; // by which it may be more before it is played a little faster
const LATE = 0.12 * SECOND; // and before the oldest are left out
const FASTER = 1.005; // nobody hears that
const CALM = 30 * SECOND; // played without a break, after which fewer are to wait
const FADE = 96; // samples, from nothing to all of it

function fullOf(view) {
  const count = Math.floor(view.byteLength / 4);
  const left = new Float32Array(count), right = new Float32Array(count);
  for (let index = 0; index < count; index += 1) {
    left[index] = view.getInt16(4 * index, true) / 32768;
    right[index] = view.getInt16(4 * index + 2, true) / 32768;
  }
  return [left, right];
}

class DesktopSound extends AudioWorkletProcessor {
  #chunks = []; // [left, right]
  #at = 0; // in the first of them; between two samples where it is played faster
  #waits = 0; // samples
  #target = LEAST;
  #playing = false;
  #quiet = true;
  #calm = 0;
  #fade = 0;
  #last = [0, 0];
  #before = null; // the last one of a reduced chunk

  constructor() {
    super();
    this.port.onmessage = ({ data: port }) => {
      port.onmessage = ({ data }) => (data === null ? this.#goQuiet() : this.#take(data));
      this.#clear();
    };
  }

  #clear() {
    this.#chunks = [];
    this.#at = this.#waits = 0;
    this.#playing = false;
  }

  // What has come is the end of it, and may be less than should wait.
  #goQuiet() {
    this.#before = null;
    this.#quiet = true;
    this.#playing = this.#waits > 0;
  }

  #take(data) {
    if (data.byteLength < 3) return;
    this.#quiet = false;
    const full = new Uint8Array(data)[0] === FULL;
    const [left, right] = full ? fullOf(new DataView(data, 1)) : this.#reducedOf(new DataView(data, 1));
    if (full) this.#before = null;
    if (!left.length) return;
    this.#chunks.push([left, right]);
    this.#waits += left.length;
    if (this.#waits > this.#target + LATE) this.#leaveOut();
    if (!this.#playing && this.#waits >= this.#target) {
      this.#playing = true;
      this.#fade = 0;
    }
  }

  // Half of the samples, of one channel: between two of them is their mean.
  #reducedOf(view) {
    const count = Math.floor(view.byteLength / 2);
    const made = new Float32Array(2 * count);
    for (let index = 0; index < count; index += 1) {
      const value = view.getInt16(2 * index, true) / 32768;
      made[2 * index] = ((this.#before ?? value) + value) / 2;
      made[2 * index + 1] = this.#before = value;
    }
    return [made, made];
  }

  #leaveOut() {
    while (this.#waits > this.#target + SLACK && this.#chunks.length > 1) {
      this.#waits -= this.#chunks.shift()[0].length - this.#at;
      this.#at = 0;
    }
    this.#fade = 0;
  }

  process(_inputs, [[left, right]]) {
    const length = left.length;
    const step = this.#waits > this.#target + SLACK ? FASTER : 1;
    if (step === 1) this.#at = Math.floor(this.#at);
    for (let index = 0; index < length; index += 1) {
      if (!this.#playing) {
        // what was there last fades away, as a jump would be heard
        left[index] = this.#last[0] *= 0.95;
        right[index] = this.#last[1] *= 0.95;
        continue;
      }
      this.#fade = Math.min(1, this.#fade + 1 / FADE);
      const [one, two] = this.#chunks[0];
      const whole = Math.floor(this.#at), part = this.#at - whole;
      const next = Math.min(whole + 1, one.length - 1);
      left[index] = this.#last[0] = this.#fade * (one[whole] + part * (one[next] - one[whole]));
      right[index] = this.#last[1] = this.#fade * (two[whole] + part * (two[next] - two[whole]));
      this.#at += step;
      this.#waits -= step;
      if (this.#at >= one.length) {
        this.#at -= one.length;
        this.#chunks.shift();
        if (!this.#chunks.length) this.#runDry();
      }
    }
    this.#learn(length);
    return true;
  }

  #runDry() {
    this.#at = this.#waits = 0;
    this.#playing = false;
    if (this.#quiet) return;
    this.#target = Math.min(MOST, this.#target + MORE);
    this.#calm = 0;
  }

  #learn(length) {
    if (!this.#playing) return;
    this.#calm += length;
    if (this.#calm < CALM) return;
    this.#calm = 0;
    this.#target = Math.max(LEAST, this.#target - MORE / 2);
  }
}

registerProcessor("desktop-sound", DesktopSound);
