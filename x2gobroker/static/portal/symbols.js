// Keys by their names, as X has them.
import KeyTable from "../novnc/core/input/keysym.js";
import keysyms from "../novnc/core/input/keysymdef.js";

// names of the DOM's KeyboardEvent.key, and those of X
const NAMED = {
  Enter: "Return", Backspace: "BackSpace", Delete: "Delete", Tab: "Tab", Escape: "Escape", Insert: "Insert",
  ArrowLeft: "Left", ArrowRight: "Right", ArrowUp: "Up", ArrowDown: "Down",
  Home: "Home", End: "End", PageUp: "Prior", PageDown: "Next",
};

// The symbol of a key by X's name, or of a letter.
export function symbolOf(name) {
  if (name === "\n" || name === "\r") return KeyTable.XK_Return;
  if (name === "\t") return KeyTable.XK_Tab;
  if ([...name].length === 1) return keysyms.lookup(name.codePointAt(0));
  return KeyTable[`XK_${name}`];
}

// The symbol of a key that the DOM has a name for, and that writes nothing; undefined for others.
export const namedKey = (key) => (/^F([1-9]|1[0-2])$/.test(key) ? symbolOf(key) : NAMED[key] && symbolOf(NAMED[key]));

// Whether a KeyboardEvent.key is a letter.
export const isTyped = (key) => [...key].length === 1;
