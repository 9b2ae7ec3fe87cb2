// The way out of the desktop, which takes all keys, Tab, too. The name of the screen says it to those who see nothing.
import { by } from "./cover.js";

// Control, Alt and Shift, let go without another key: the keyboard goes back to the tools.
export function setUpLeaving() {
  let chord = false;
  by("screen").addEventListener("keydown", (event) => {
    const only = ["Control", "Alt", "Shift", "Meta", "AltGraph"].includes(event.key);
    chord = only && (chord || (event.ctrlKey && event.altKey && event.shiftKey));
  }, true);
  by("screen").addEventListener("keyup", (event) => {
    if (!chord || event.ctrlKey || event.altKey || event.shiftKey) return;
    chord = false;
    if (document.body.classList.contains("no-bar")) by("show-bar").focus();
    else by("keys").focus();
  }, true);
}
