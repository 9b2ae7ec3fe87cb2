// Keys that a device does not have: the row of special keys, and the keyboard on the screen of a phone.
import KeyTable from "../novnc/core/input/keysym.js";
import keysyms from "../novnc/core/input/keysymdef.js";
import { by } from "./cover.js";

const CODES = { Control_L: "ControlLeft", Alt_L: "AltLeft", Super_L: "MetaLeft", Tab: "Tab", Escape: "Escape" };
const NAMED = {
  Enter: "Return", Backspace: "BackSpace", Delete: "Delete", Tab: "Tab", Escape: "Escape", ArrowLeft: "Left",
  ArrowRight: "Right", ArrowUp: "Up", ArrowDown: "Down", Home: "Home", End: "End", PageUp: "Prior", PageDown: "Next",
};
const INPUTS = { deleteContentBackward: "BackSpace", deleteContentForward: "Delete", insertLineBreak: "Return", insertParagraph: "Return" };
const FILLER = "  "; // something that the keyboard can delete, else it does not say that the key was pressed

const keysym = (name) => KeyTable[`XK_${name}`];

export function setUpKeys(connection) {
  const held = new Set();
  const hold = (button, down) => {
    const name = button.dataset.hold;
    if (down) held.add(name);
    else held.delete(name);
    button.setAttribute("aria-pressed", String(down));
    connection.rfb?.sendKey(keysym(name), CODES[name], down);
  };
  const holders = [...document.querySelectorAll("[data-hold]")];
  const letGo = () => holders.forEach((button) => held.has(button.dataset.hold) && hold(button, false));
  const press = (symbol, code = "") => {
    connection.rfb?.sendKey(symbol, code);
    letGo(); // as with the sticky keys of desktops
  };
  const showKeys = (shown) => {
    by("keys-bar").hidden = !shown;
    by("keys").setAttribute("aria-expanded", String(shown));
    if (!shown) letGo();
  };
  by("keys").addEventListener("click", () => showKeys(by("keys-bar").hidden));
  for (const button of holders) button.addEventListener("click", () => hold(button, !held.has(button.dataset.hold)));
  for (const button of document.querySelectorAll("[data-key]")) {
    button.addEventListener("click", () => press(keysym(button.dataset.key), CODES[button.dataset.key]));
  }
  by("ctrl-alt-del").addEventListener("click", () => connection.rfb?.sendCtrlAltDel());
  connection.addEventListener("phase", (event) => event.detail.phase !== "connected" && showKeys(false));
  setUpTyping(by("typed"), press);
  by("type").addEventListener("click", () => by("typed").focus());
}

function setUpTyping(box, press) {
  const clear = () => {
    box.value = FILLER;
    box.setSelectionRange(FILLER.length, FILLER.length);
  };
  clear();
  box.addEventListener("focus", clear);
  box.addEventListener("keydown", (event) => {
    if (event.isComposing || !(event.key in NAMED)) return;
    event.preventDefault();
    press(keysym(NAMED[event.key]), event.code);
  });
  const send = (words) => [...words].forEach((letter) => press(letter === "\n" ? keysym("Return") : keysyms.lookup(letter.codePointAt(0))));
  box.addEventListener("input", (event) => {
    if (event.isComposing) return; // the word is not finished
    if (event.inputType in INPUTS) press(keysym(INPUTS[event.inputType]));
    else send(event.data ?? box.value.slice(FILLER.length));
    clear();
  });
  box.addEventListener("compositionend", (event) => {
    send(event.data);
    clear();
  });
}
