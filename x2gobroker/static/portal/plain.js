// What is in files by plain requests, beside a channel: browsers carry those several times as fast as websockets, and
// save downloads by themselves. A request shows a ticket that came over the channel, as the first thing in its body.

const KEEP_SECONDS = 60; // for a browser to take what is left of a download: in some, it ends with its frame

// Whether they get through; a web server in front may refuse them. `proven`: one has.
export const works = { up: true, down: true, proven: false };

// The address of plain requests, from that of a websocket.
export function plainUrl(url) {
  const made = new URL(url, location.href);
  made.protocol = { "ws:": "http:", "wss:": "https:" }[made.protocol] || made.protocol;
  return made.href;
}

// Send a part of a file; the status of the answer, 0 where none has come.
export async function sendPart(url, ticket, part, signal) {
  const body = new Blob([`ticket=${ticket}\r\n`, part], { type: "text/plain" });
  try {
    return (await fetch(url, { method: "POST", body, signal, cache: "no-store", redirect: "error" })).status;
  } catch (error) {
    console.debug(error); // whoever waits for the answer sees how far it came
    return 0;
  }
}

// Have the browser save a file. `blocked()` is called where something else comes than a download. Gives what ends it.
export function saveFile(url, ticket, name, blocked) {
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.title = name;
  frame.name = `save-${crypto.randomUUID()}`;
  frame.addEventListener("load", () => {
    if (frame.contentDocument?.URL !== "about:blank") blocked(); // that is where every frame begins
  });
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: url, enctype: "text/plain", target: frame.name, hidden: true });
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name: "ticket", value: ticket });
  form.append(field);
  document.body.append(frame, form);
  form.submit();
  form.remove();
  return () => setTimeout(() => frame.remove(), KEEP_SECONDS * 1000);
}
