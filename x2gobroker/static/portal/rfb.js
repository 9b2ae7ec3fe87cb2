// noVNC, with one thing on top: a desktop may have more pixels than the page counts, so that it is sharp on screens
// that have more.
import RFB from "../novnc/core/rfb.js";

export default class Screen extends RFB {
  ratio = 1; // pixels of the desktop for each of the page's, when the desktop is as large as the window
  #asks = false;

  // Both of these are noVNC's own, and not for others; scripts/novnc has the release, and a test looks for them.
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
}
