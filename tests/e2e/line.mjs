// The line between a phone and the box, for the browser scripts: a server in front of the box that passes everything on,
// can be cut (open connections break, new ones are refused) and can bring a newer page than the box has.
// Never answers for the box's interface.

import { createServer, request } from "node:http";

/** Starts a line to the box at `box` (an http address). */
export async function startLine(box) {
  const target = new URL(box);
  const open = new Set();
  let newer = null;
  let silent = false;
  const server = createServer((incoming, outgoing) => {
    if (silent && incoming.url.startsWith("/api/")) {
      incoming.destroy();
      return;
    }
    const headers = { ...incoming.headers };
    // The box would say that nothing changed.
    if (newer) delete headers["if-none-match"];
    const passed = request(
      { host: target.hostname, port: target.port, method: incoming.method, path: incoming.url, headers },
      (answer) => (newer && replaced(newer, incoming, answer, outgoing)) || pass(answer, outgoing),
    );
    passed.on("error", () => outgoing.destroy());
    incoming.on("error", () => passed.destroy());
    outgoing.on("close", () => passed.destroy());
    incoming.pipe(passed);
  });
  server.on("connection", (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
  });
  const listen = (port) => new Promise((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  await listen(0);
  const { port } = server.address();
  return {
    address: `http://127.0.0.1:${port}`,
    /** The phone leaves the network. */
    cut: () =>
      new Promise((resolve) => {
        server.close(resolve);
        for (const socket of open) socket.destroy();
      }),
    restore: () => listen(port),
    /** The box serves its page but does not answer yet, as while it starts. */
    silence: (on) => (silent = on),
    /** From now on the page is one that was built later: another version, `mark` in its head. */
    bring: (mark) => (newer = mark),
    end: () => {
      for (const socket of open) socket.destroy();
      server.close();
    },
  };
}

function pass(answer, outgoing) {
  outgoing.writeHead(answer.statusCode, answer.headers);
  answer.pipe(outgoing);
  return true;
}

/** The two files that tell a newer page: the worker with its version, and the page itself. */
function replaced(mark, incoming, answer, outgoing) {
  const kind = answer.headers["content-type"] ?? "";
  const worker = incoming.url === "/sw.js";
  if (!worker && !kind.startsWith("text/html")) return false;
  let body = "";
  answer.setEncoding("utf8");
  answer.on("data", (part) => (body += part));
  answer.on("end", () => {
    const changed = worker ? body.replace(/VERSION = "\w+"/, `VERSION = "${mark}"`) : body.replace("<head>", `<head><meta name="build" content="${mark}">`);
    const headers = { ...answer.headers };
    for (const name of ["content-length", "etag", "transfer-encoding"]) delete headers[name];
    outgoing.writeHead(answer.statusCode, headers);
    outgoing.end(changed);
  });
  return true;
}
