// Where the keyboard is: in the desktop, whenever no tool of the page needs it.

// Tools that are used by pointer leave the keyboard where it is; those who come to them by Tab stay there.
function leaveFocus(event) {
  if (event.target.closest("button")) event.preventDefault();
}

// `typing` is what setUpTyping gives: while it is on, the box for it has the keyboard.
export function setUpFocus(connection, typing) {
  const comeBack = () => {
    if (document.querySelector("dialog[open]") || !connection.rfb) return;
    if (typing.on) typing.focus();
    else connection.rfb.focus();
  };
  for (const bar of document.querySelectorAll(".bar, .handle")) bar.addEventListener("mousedown", leaveFocus);
  for (const dialog of document.querySelectorAll("dialog")) {
    // the browser has given it back to where it was before; only where it is lost now, or a button would take a space
    dialog.addEventListener("close", () => setTimeout(() => document.activeElement === document.body && comeBack()));
  }
  const screen = document.getElementById("screen");
  // a key that is let go elsewhere stays down in the desktop for ever; noVNC lets all go when the window loses the focus
  screen.addEventListener("focusout", () => connection.rfb && dispatchEvent(new Event("blur")));
  // on a phone, a tap on the desktop would close the screen keyboard
  screen.addEventListener("pointerup", (event) => event.pointerType === "touch" && typing.on && setTimeout(comeBack));
  return comeBack;
}
