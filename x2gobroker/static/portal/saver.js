// A service worker: answers an address below save/ that a page has offered with the file that this page sends, part by
// part, as the browser takes it. It asks no server for anything, and keeps nothing.
const offers = new Map();
const MOST = 16; // parts that wait for the browser
const scope = new URL("save/", self.location.href).pathname;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("message", ({ data, ports }) => {
  if (data?.do === "offer" && ports.length === 1) offers.set(data.id, { ...data, port: ports[0] });
  // else a ping: that there is an event at all keeps this worker going
});

function streamOf(port, ended) {
  let come = 0;
  return new ReadableStream({
    start(controller) {
      port.onmessage = ({ data }) => {
        if (data instanceof ArrayBuffer) {
          come += 1;
          controller.enqueue(new Uint8Array(data));
        } else {
          if (data === "end") controller.close();
          else controller.error(new Error("cancelled"));
          ended();
        }
      };
    },
    pull(controller) {
      port.postMessage({ taken: come - (MOST - controller.desiredSize), most: MOST });
    },
    cancel() {
      port.postMessage("cancel");
      ended();
    },
  }, { highWaterMark: MOST });
}

// As RFC 8187 has it: encodeURIComponent leaves some characters that are none of its own.
const quoted = (name) => encodeURIComponent(name).replace(/['()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);

self.addEventListener("fetch", (event) => {
  const { origin, pathname } = new URL(event.request.url);
  const id = pathname.slice(scope.length);
  const offer = origin === self.location.origin && pathname.startsWith(scope) ? offers.get(id) : undefined;
  if (!offer) return;
  offers.delete(id);
  let ended;
  event.waitUntil(new Promise((resolve) => { ended = resolve; }));
  event.respondWith(new Response(streamOf(offer.port, ended), {
    headers: {
      "Content-Type": "application/octet-stream",
      "Content-Length": String(offer.size),
      "Content-Disposition": `attachment; filename*=UTF-8''${quoted(offer.name)}`,
      "Content-Security-Policy": "default-src 'none'",
      "X-Content-Type-Options": "nosniff",
    },
  }));
});
