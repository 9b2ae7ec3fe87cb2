// Keys that a device does not have: the row of special keys, and the keyboard on the screen of a phone.
import { by } from "./cover.js";
import { symbolOf } from "./symbols.js";
import { setUpTyping } from "./typing.js";

const CODES = {
  Control_L: "ControlLeft", Alt_L: "AltLeft", Super_L: "MetaLeft", Shift_L: "ShiftLeft", Tab: "Tab", Escape: "Escape",
  Return: "Enter", BackSpace: "Backspace", Delete: "Delete", Left: "ArrowLeft", Right: "ArrowRight", Up: "ArrowUp",
  Down: "ArrowDown", Home: "Home", End: "End", Prior: "PageUp", Next: "PageDown", Insert: "Insert",
};
const MODIFIERS = { ctrl: "Control_L", alt: "Alt_L", meta: "Super_L", shift: "Shift_L" };

// Returns what setUpTyping does.
export function setUpKeys(connection) {
  const held = new Set();
  const send = (name, down) => connection.rfb?.sendKey(symbolOf(name), CODES[name], down);
  const hold = (button, down) => {
    const name = button.dataset.hold;
    if (down) held.add(name);
    else held.delete(name);
    button.setAttribute("aria-pressed", String(down));
    send(name, down);
  };
  const holders = [...document.querySelectorAll("[data-hold]")];
  const letGo = () => holders.forEach((button) => held.has(button.dataset.hold) && hold(button, false));
  const press = (symbol, code = "", modifiers = {}) => {
    const pressed = Object.keys(MODIFIERS).filter((name) => modifiers[name]).map((name) => MODIFIERS[name]);
    pressed.forEach((name) => send(name, true));
    connection.rfb?.sendKey(symbol, code);
    pressed.reverse().forEach((name) => send(name, false));
    letGo(); // as with the sticky keys of desktops
  };
  const showKeys = (shown) => {
    if (!shown) typing.end(); // its box goes away as well
    by("keys-bar").hidden = !shown;
    by("keys").setAttribute("aria-expanded", String(shown));
    if (!shown) letGo();
  };
  const typing = setUpTyping(by("typed"), by("type"), press);
  by("keys").addEventListener("click", () => showKeys(by("keys-bar").hidden));
  for (const button of holders) button.addEventListener("click", () => hold(button, !held.has(button.dataset.hold)));
  for (const button of document.querySelectorAll("[data-key]")) {
    button.addEventListener("click", () => press(symbolOf(button.dataset.key), CODES[button.dataset.key] || button.dataset.key));
  }
  by("ctrl-alt-del").addEventListener("click", () => connection.rfb?.sendCtrlAltDel());
  connection.addEventListener("phase", (event) => event.detail.phase !== "connected" && showKeys(false));
  return typing;
}
