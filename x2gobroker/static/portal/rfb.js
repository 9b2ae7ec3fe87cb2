// noVNC, with three things on top: a desktop may have more pixels than the page counts, so that it is sharp on screens
// that have more; its pointer can be moved by others than noVNC; and it says when a text of the desktop's clipboard does
// not come: the event `clipboardmissed`. What begins with _ is noVNC's own, and not for others; scripts/novnc has the
// release, and a test looks for it.
import RFB from "../novnc/core/rfb.js";

const CUT_TEXT_BYTES = 11; // padding, length and flags, behind the type of a message of the extended clipboard
const [TEXT, CAPS, NOTIFY, PROVIDE] = [1, 1 << 24, 1 << 27, 1 << 28]; // flags of it (rfbproto.rst)
const TEXT_SECONDS = 5; // for a text that noVNC has asked for

export default class Screen extends RFB {
  ratio = 1; // pixels of the desktop for each of the page's, when the desktop is as large as the window
  #asks = false;
  #missing = null;

  // The desktop says that it has a new text, and noVNC asks for that. Xvnc does not answer where a program would give it
  // in parts, as most do when it is long; nor can it answer for a program that hangs.
  _handleServerCutText() {
    const head = this._sock.rQlen() < CUT_TEXT_BYTES ? null : new DataView(this._sock.rQpeekBytes(CUT_TEXT_BYTES).buffer);
    const whole = super._handleServerCutText();
    const flags = head && head.getInt32(3) < 0 ? head.getUint32(7) : PROVIDE; // a plain message is a text
    if (this.viewOnly || flags & CAPS) return whole;
    const awaited = whole ? flags & NOTIFY && flags & TEXT : this.#missing !== null; // a part of it has come
    if (awaited) this.#waitForText();
    else if (whole && flags & (NOTIFY | PROVIDE)) this.#forgetText();
    return whole;
  }

  #waitForText() {
    this.#forgetText();
    this.#missing = setTimeout(() => {
      this.#missing = null;
      this.dispatchEvent(new CustomEvent("clipboardmissed"));
    }, TEXT_SECONDS * 1000);
  }

  #forgetText() {
    clearTimeout(this.#missing);
    this.#missing = null;
  }

  _requestRemoteResize() {
    this.#asks = true;
    try {
      super._requestRemoteResize();
    } finally {
      this.#asks = false;
    }
  }

  _screenSize() {
    const size = super._screenSize();
    if (!this.#asks) return size;
    // whole pixels: with parts of them noVNC would never be content, and ask again and again
    return { w: Math.floor(size.w * this.ratio), h: Math.floor(size.h * this.ratio) };
  }

  // Have the pointer at these pixels of the desktop, and these of its buttons down: 1 left, 2 middle, 4 right, 8 and on
  // the wheel up, down, left and right.
  point(x, y, buttons) {
    const box = this._canvas.getBoundingClientRect();
    // the middle of a pixel: noVNC takes the whole ones, and one that was a hair too small would be the one before
    const at = { x: ((x + 0.5) * box.width) / this._canvas.width, y: ((y + 0.5) * box.height) / this._canvas.height };
    if (buttons === this._mouseButtonMask) this._handleMouseMove(at.x, at.y);
    else this._handleMouseButton(at.x, at.y, buttons);
    this.showPointer(x, y);
  }

  // Show the pointer there, and tell the desktop nothing.
  showPointer(x, y) {
    const box = this._canvas.getBoundingClientRect();
    const at = { clientX: box.left + (x * box.width) / this._canvas.width, clientY: box.top + (y * box.height) / this._canvas.height };
    this._cursor._handleMouseMove({ target: this._canvas, ...at });
  }
}
