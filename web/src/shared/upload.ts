// Sends one file to the server as it is, tells how far it is, and can be stopped. Never keeps the file.
import { Problem } from "./api";

/** Longest file that a work order takes. */
export const FILE_BYTES_MAX = 16 * 1024 * 1024;
const SILENCE_MS = 60_000;

export interface Upload<T> {
  done: Promise<T>;
  stop: () => void;
}

/** `told` hears the share that is on its way, 0 to 1. */
export function upload<T>(path: string, query: Record<string, string>, file: Blob, told: (share: number) => void, headers: Record<string, string> = {}): Upload<T> {
  const request = new XMLHttpRequest();
  const done = new Promise<T>((resolve, reject) => {
    const lost = (title: string) =>
      reject(new Problem(0, { title, detail: "Nothing was added. Check the network of this device.", code: "unreachable" }));
    request.open("POST", `/api/v1${path}?${new URLSearchParams(query)}`);
    request.timeout = 0;
    request.setRequestHeader("Accept", "application/json, application/problem+json");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    // Silence, not length: a large photo over a weak network may take its time.
    let silence = setTimeout(() => request.abort(), SILENCE_MS);
    request.upload.onprogress = (event) => {
      clearTimeout(silence);
      silence = setTimeout(() => request.abort(), SILENCE_MS);
      if (event.lengthComputable) told(event.loaded / event.total);
    };
    request.onloadend = () => clearTimeout(silence);
    request.onabort = () => lost("The file was not sent");
    request.onerror = () => lost("The server cannot be reached");
    request.onload = () => {
      let answer: unknown = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // A proxy's own page: the status says enough.
      }
      if (request.status >= 200 && request.status < 300) resolve(answer as T);
      else reject(new Problem(request.status, answer !== null && typeof answer === "object" ? (answer as Record<string, unknown>) : {}));
    };
    request.send(file);
  });
  return { done, stop: () => request.abort() };
}
