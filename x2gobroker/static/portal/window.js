// Forms that start a desktop say how large it may be to fill this window.
const BAR = 61; // the page of a desktop has a bar above it; once it is open, the desktop follows what there really is

for (const field of document.querySelectorAll("input[data-window]")) {
  field.form.addEventListener("submit", () => { field.value = `${innerWidth}x${Math.max(200, innerHeight - BAR)}`; });
}
