// noVNC, with two things on top: a desktop may have more pixels than the page counts, so that it is sharp on screens
// that have more; and its pointer can be moved by others than noVNC. What begins with _ is noVNC's own, and not for
// others; scripts/novnc has the release, and a test looks for it.
import RFB from "../novnc/core/rfb.js";

export default class Screen extends RFB {
  ratio = 1; // pixels of the desktop for each of the page's, when the desktop is as large as the window
  #asks = false;

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
