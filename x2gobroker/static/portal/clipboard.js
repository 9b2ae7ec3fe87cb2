// The clipboards of desktop and device: a box for everybody, and by itself where the browser lets us.
// What the session type allows is said in the page: data-clipboard (both, in, out, none) and data-clipboard-bytes.
import { by, copy, page, speak, text } from "./cover.js";

const SAID_SECONDS = 8;

async function mayRead() {
  try {
    return (await navigator.permissions.query({ name: "clipboard-read" })).state;
  } catch (error) {
    console.debug(error);
    return "unknown"; // this browser asks each time: too often to do it unasked
  }
}

// How many bytes a text has in the desktop's clipboard: VNC has line ends of two bytes, and a zero at the end.
const bytesOf = (words) => new TextEncoder().encode(words.replace(/\r?\n/g, "\r\n")).length + 1;

export function setUpClipboard(connection) {
  const policy = page.dataset.clipboard;
  const takesIn = policy === "both" || policy === "in";
  const givesOut = policy === "both" || policy === "out";
  const most = Number(page.dataset.clipboardBytes);
  if (!takesIn && !givesOut) return;
  const box = by("clipboard-text");
  const dialog = by("clipboard-dialog");
  const over = by("clipboard-over");
  const say = (words) => { by("clipboard-said").textContent = words; };
  let common = ""; // what both sides have
  let missed = false; // the desktop has another text by now, which has not come
  let refused = ""; // the last text of the device that was too long
  let hiding = null;

  // What the user did not ask for in the dialog is said over the screen.
  const tell = (words) => {
    say(words);
    if (dialog.open) return;
    speak(words);
    over.textContent = words;
    over.hidden = false;
    clearTimeout(hiding);
    hiding = setTimeout(() => { over.hidden = true; }, SAID_SECONDS * 1000);
  };

  const tooLong = (words) => {
    const size = bytesOf(words);
    return size > most ? text("clipboard_long", { size: Math.ceil(size / 1024), most: Math.floor(most / 1024) }) : "";
  };

  // What to say of it; nothing where there was nothing to send.
  const send = (words) => {
    if (!takesIn || !connection.rfb || (words === common && !missed)) return "";
    const long = tooLong(words);
    if (long) return long;
    missed = false;
    common = box.value = words;
    connection.rfb.clipboardPasteFrom(words);
    return text("clipboard_sent");
  };

  // when the user comes to the desktop, what was copied elsewhere is in it
  const take = async () => {
    if (!takesIn || !connection.rfb || !document.hasFocus() || (await mayRead()) !== "granted") return;
    try {
      const words = await navigator.clipboard.readText();
      // an image, or nothing at all, leaves the desktop's clipboard alone; so does what the desktop has had
      if (!words || words === common || words === refused) return;
      const long = tooLong(words);
      refused = long && words; // it is there again whenever the user comes
      if (long) tell(long);
      else send(words);
    } catch (error) {
      console.debug(error); // no text, or the window has just lost the focus
    }
  };
  addEventListener("focus", take);
  by("screen").addEventListener("pointerenter", take);

  connection.addEventListener("clipboard", async ({ detail }) => {
    if (!givesOut || (detail.text === common && !missed)) return;
    missed = false;
    common = box.value = detail.text;
    if (dialog.open) say(text("clipboard_new"));
    try {
      await navigator.clipboard.writeText(detail.text);
    } catch (error) {
      console.debug(error); // not allowed: it is in the box
    }
  });

  connection.addEventListener("clipboardmissed", () => {
    if (!givesOut) return;
    missed = true;
    box.value = ""; // what is there is not what the user has copied
    tell(text("clipboard_missed"));
  });

  by("clipboard").addEventListener("click", async () => {
    say(missed ? text("clipboard_missed") : "");
    dialog.showModal();
    box.select();
    by("clipboard-read").hidden = !takesIn || !navigator.clipboard?.readText || (await mayRead()) === "denied";
  });
  box.readOnly = !takesIn;
  box.addEventListener("input", () => {
    const words = send(box.value);
    if (words) say(words);
  });
  by("clipboard-copy").addEventListener("click", async () => say(await copy(box)));
  by("clipboard-read").addEventListener("click", async () => {
    try {
      const words = await navigator.clipboard.readText();
      say(words ? send(words) || text("clipboard_sent") : text("clipboard_no_text"));
    } catch (error) {
      console.debug(error);
      say(text("clipboard_denied"));
      speak(text("clipboard_denied"));
    }
  });
}
