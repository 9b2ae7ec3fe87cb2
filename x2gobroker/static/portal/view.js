// The page of a guest, who comes by a link. The secret is behind the # of the address, and goes to no log.
import { Connection, ask } from "./connection.js";
import { by, enable, missing, offer, page, passing, said, setUpFullScreen, show, text } from "./cover.js";
import { setUpScaling } from "./scaling.js";

const secret = () => location.hash.slice(1);

async function askToken() {
  const ticket = await ask(page.dataset.token, "POST", { share: secret() });
  by("name").textContent = ticket.name;
  connection.viewOnly = !ticket.works;
  connection.canvasName = ticket.name;
  return ticket;
}

// When the link no longer counts, the next token is refused, and that says so.
async function look({ reason, refused }) {
  if (reason.includes("taken back")) return { text: "link_gone" };
  if (refused && passing(reason)) return { wait: said(reason) };
  if (refused) return { text: "link_gone", more: said(reason), again: true };
  return reason.startsWith("this desktop was stopped") ? { text: "ended" } : null;
}

const connection = new Connection(by("screen"), askToken, look, true);

connection.addEventListener("phase", ({ detail }) => {
  enable(detail.phase === "connected");
  if (detail.phase === "connected") {
    offer();
    show("connected", text(connection.viewOnly ? "looking" : "working"), { cover: false });
    connection.canvas.setAttribute("role", connection.viewOnly ? "img" : "application");
    connection.canvas.setAttribute("aria-label", text(connection.viewOnly ? "screen_view" : "screen", { name: connection.canvasName }));
    if (!connection.viewOnly) {
      connection.canvas.tabIndex = 0;
      connection.canvas.focus();
    }
  } else if (detail.phase === "waiting") {
    offer("again");
    const quiet = by("state").dataset.phase === "waiting";
    show("waiting", text(detail.text), { more: `${detail.why || text(`${detail.text}_more`)} ${text("again", { seconds: detail.seconds })}`.trim(), busy: true, quiet });
  } else if (detail.phase === "connecting" || detail.phase === "lost") {
    offer();
    show("connecting", text("connecting"), { busy: true });
  } else if (detail.phase === "ended") {
    offer(...(detail.again ? ["again"] : []));
    show("ended", detail.text ? text(detail.text) : detail.words || text("ended"), { more: detail.more || "" });
  }
});

function start() {
  const fault = missing() || (/^[0-9a-f]{1,100}$/.test(secret()) ? "" : "no_link");
  if (fault) show("ended", text(fault));
  else connection.connect();
}

by("again").addEventListener("click", () => connection.connect());
addEventListener("hashchange", start);
setUpFullScreen();
setUpScaling(connection);
start();
