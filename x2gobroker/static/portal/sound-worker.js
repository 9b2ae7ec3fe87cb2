// The connection for sound, in a thread of its own: chunks go straight on to the player. See sound.js.
// Told once: {url, protocol, port: the player's}. Says: {what: "open"}, {what: "none"}, {what: "closed", code, reason}.
const PROTOCOL = "x2gobroker-sound";
const SOON = 25; // milliseconds, after which the service hears of chunks that have come

addEventListener("message", ({ data: { url, protocol, port } }) => {
  const socket = new WebSocket(url, [PROTOCOL, protocol]);
  socket.binaryType = "arraybuffer";
  let chunks = 0;
  let telling = null;
  const tell = () => {
    telling = null;
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ do: "taken", chunks }));
  };
  socket.addEventListener("open", () => postMessage({ what: "open" }));
  socket.addEventListener("message", ({ data }) => {
    if (typeof data === "string") {
      const found = JSON.parse(data);
      if (found.do === "quiet") port.postMessage(null);
      else postMessage({ what: found.do });
      return;
    }
    chunks += 1;
    port.postMessage(data, [data]);
    telling ??= setTimeout(tell, SOON);
  });
  socket.addEventListener("close", ({ code, reason }) => postMessage({ what: "closed", code, reason }));
});
