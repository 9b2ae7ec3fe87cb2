// The box that takes what a screen keyboard or an input method writes. What comes out of it depends on nothing but its
// text: browsers have the events of a composition in different orders, and some tell of its end twice.
import { symbolOf, isTyped, namedKey } from "./symbols.js";

const FILLER = "  "; // something that the keyboard can delete, else it does not say that the key was pressed
const CLEAR_SECONDS = 3; // without a letter; until then the keyboard may still correct the last words
const LONGEST = 2000; // letters in the box

// `press(symbol, code, modifiers)` sends one key. Returns {on, focus(), end()}: `on` while the user types by way of the box.
export function setUpTyping(box, button, press) {
  let known = "";
  let composing = false;
  let clearing = null;
  const end = () => {
    state.on = false;
    box.blur();
  };
  const state = { on: false, focus: () => box.focus({ preventScroll: true }), end };

  const clear = () => {
    clearTimeout(clearing);
    if (composing) return;
    known = box.value = FILLER;
    box.setSelectionRange(FILLER.length, FILLER.length);
  };

  // Send how the text differs from what was sent: take back what is gone, and type what is new.
  const send = () => {
    const before = [...known];
    const now = [...box.value];
    let same = 0;
    while (same < before.length && same < now.length && before[same] === now[same]) same += 1;
    known = box.value;
    for (let at = same; at < before.length; at += 1) press(symbolOf("BackSpace"), "Backspace");
    for (const letter of now.slice(same)) press(symbolOf(letter));
    clearTimeout(clearing);
    if (box.value.length < FILLER.length || box.value.length > LONGEST) clear();
    else clearing = setTimeout(clear, CLEAR_SECONDS * 1000);
  };

  box.addEventListener("focus", () => {
    clear();
    state.on = true;
    button.setAttribute("aria-pressed", "true");
  });
  box.addEventListener("blur", () => {
    composing = false;
    clear();
    button.setAttribute("aria-pressed", "false");
  });
  box.addEventListener("compositionstart", () => { composing = true; });
  box.addEventListener("compositionend", () => {
    composing = false;
    send();
  });
  box.addEventListener("input", (event) => {
    composing = event.isComposing; // a word that was begun may be given up without its own event
    if (!composing) send();
  });
  box.addEventListener("keydown", (event) => {
    if (event.isComposing || event.key === "Process" || event.key === "Unidentified") return;
    const named = namedKey(event.key);
    const combined = (event.ctrlKey || event.altKey || event.metaKey) && !event.getModifierState("AltGraph") && isTyped(event.key);
    if (!named && !combined) return; // a letter: it comes as text
    event.preventDefault();
    press(named || symbolOf(event.key), event.code, { ctrl: event.ctrlKey, alt: event.altKey, meta: event.metaKey, shift: Boolean(named) && event.shiftKey });
    clear();
  });
  button.addEventListener("click", () => {
    if (document.activeElement === box) end();
    else state.focus();
  });
  clear();
  return state;
}
