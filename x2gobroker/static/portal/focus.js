// Where the keyboard is: in the desktop, whenever no tool of the page needs it.

// `typing` is what setUpTyping gives: while it is on, the box for it has the keyboard. Guests who only look on have no
// desktop that could take it.
export function setUpFocus(connection, typing) {
  const comeBack = () => {
    if (document.querySelector("dialog[open]") || !connection.rfb || connection.viewOnly) return;
    if (typing.on) typing.focus();
    else connection.rfb.focus();
  };
  const comeBackIfLost = () => setTimeout(() => document.activeElement === document.body && comeBack());
  // tools that are used by pointer leave the keyboard where it is; those who come to them by Tab stay there
  for (const bar of document.querySelectorAll(".bar, .handle")) {
    bar.addEventListener("mousedown", (event) => {
      if (!connection.viewOnly && event.target.closest("button, summary")) event.preventDefault();
    });
  }
  for (const dialog of document.querySelectorAll("dialog")) {
    // the browser has given it back to where it was before; only where it is lost now, or a button would take a space
    dialog.addEventListener("close", comeBackIfLost);
  }
  // not while the user types by way of it: who closes a phone's keyboard does not want it back
  document.getElementById("typed").addEventListener("blur", () => typing.on || comeBackIfLost());
  // a list has to take the keyboard; letters that are typed after a choice by pointer would choose something else in it
  for (const list of document.querySelectorAll(".bar select")) {
    let pointed = false;
    list.addEventListener("pointerdown", () => { pointed = true; });
    list.addEventListener("keydown", () => { pointed = false; });
    list.addEventListener("change", () => pointed && comeBack());
  }
  // full screen hides the tool that was used for it by Tab, and its end hides the handle
  document.addEventListener("fullscreenchange", () => {
    const at = document.activeElement;
    if (!at || at === document.body || !at.getClientRects().length) comeBack();
  });
  const screen = document.getElementById("screen");
  // a key that is let go elsewhere stays down in the desktop for ever; noVNC lets all go when the window loses the focus
  screen.addEventListener("focusout", () => connection.rfb && dispatchEvent(new Event("blur")));
  // on a phone, a tap on the desktop would close the screen keyboard
  screen.addEventListener("pointerup", (event) => event.pointerType === "touch" && typing.on && setTimeout(comeBack));
  return comeBack;
}
