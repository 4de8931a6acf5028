// The box's page by HTTPS in a browser that was given the site's authority as a person gives it: downloaded from the box and
// taken into the browser's own database. No flag weakens the browser. Run by the test `trusted_page` of tests/it.
// Never waits for a time: always for a condition.
//
// In:  CHATTERFIX_BOX (http), CHATTERFIX_BOX_HTTPS, CHATTERFIX_PICTURES.
// Out: "ask: kill-box" and "ask: start-box", each answered with one line; "measured: …" at the end.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, checked, DEADLINE_MS, device, end, fits, hook, look, open, PHONE, setting, until } from "./kit.mjs";

const box = setting("CHATTERFIX_BOX");
const EVA = "Eva Lang";
const NOTE = "Grease nipple is missing";
/** A label of 21 mm at 203 dpi. */
const LABEL_DOTS = 168;
/** A name as a plant's network has it (`https_names` of the box): no browser takes it for the machine itself. */
const NAME = "press-hall.local";
const named = (address) => {
  const url = new URL(address);
  url.hostname = NAME;
  return url.origin;
};
const [plain, secure] = [named(box), named(setting("CHATTERFIX_BOX_HTTPS"))];
const options = { more: [`--host-resolver-rules=MAP ${NAME} 127.0.0.1`] };
const api = async (path) => (await fetch(`${box}/api/v1${path}`)).json();

/** Takes the authority from the box into the database of a browser's home (NSS), as one for servers only. */
async function authority() {
  const answer = await fetch(`${box}/ca.crt`);
  assert.equal(answer.status, 200);
  const certificate = Buffer.from(await answer.arrayBuffer());
  return (home) => {
    const database = join(home, ".pki/nssdb");
    mkdirSync(database, { recursive: true });
    const file = join(home, "ca.crt");
    writeFileSync(file, certificate);
    const certutil = (...words) => execFileSync("certutil", ["-d", `sql:${database}`, ...words]);
    certutil("-N", "--empty-password");
    certutil("-A", "-n", "site", "-t", "C,,", "-i", file);
  };
}

/** Who did not take the authority is warned, and nothing of the page runs. */
async function refusedWithout() {
  const stranger = await device(PHONE, options);
  const page = await open(stranger.context, "stranger");
  await assert.rejects(page.goto(`${secure}/more`), /ERR_CERT_AUTHORITY_INVALID/);
  await stranger.end();
}

/** Plain HTTP to the same name, by a browser that trusts: told that the page opens only while the box answers. */
async function plainSaysSo(eva) {
  await eva.page.goto(`${plain}/more`);
  const card = hook(eva.page, "page-card", '[data-state="plain"]');
  await card.waitFor();
  assert.match(await card.innerText(), /opens only while the box answers/);
  assert.deepEqual(await eva.page.evaluate(() => [window.isSecureContext, "serviceWorker" in navigator]), [false, false]);
  await look(eva.page, "box-plain");
  await fits(eva.page, "box-plain");
  assert.equal(new URL(await hook(eva.page, "to-trust").getAttribute("href"), plain).pathname, "/trust");
}

/** The lock is closed, by the browser's own judgement, and the page is kept on the phone. */
async function trusted(eva) {
  const debug = await eva.context.newCDPSession(eva.page);
  const judged = [];
  debug.on("Security.visibleSecurityStateChanged", ({ visibleSecurityState }) => judged.push(visibleSecurityState));
  await debug.send("Security.enable");
  const answer = await eva.page.goto(`${secure}/more`);
  const details = await answer.securityDetails();
  assert.match(details.issuer, /CHATTERFIX/i, JSON.stringify(details));
  await until("the browser judges the page as secure", () => {
    const last = judged.at(-1);
    return { value: last, right: last?.securityState === "secure" && last.certificateSecurityState?.certificateHasWeakSignature === false };
  });
  await hook(eva.page, "page-card", '[data-state="kept"]').waitFor();
  const worker = await eva.page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    return [window.isSecureContext, registration.active?.state, new URL(registration.active.scriptURL).pathname];
  });
  assert.deepEqual(worker, [true, "activated", "/sw.js"]);
  await look(eva.page, "box-https");
}

/** The box is gone: the page opens, keeps a note, and delivers it when the box is back. */
async function queued(eva) {
  await eva.page.goto(`${secure}/work`);
  await hook(eva.page, "order-row").first().click();
  await hook(eva.page, "order").waitFor();
  const orderPath = new URL(eva.page.url()).pathname;
  const id = orderPath.split("/").pop();
  await ask("kill-box");
  await eva.page.reload();
  await hook(eva.page, "page-lost").waitFor();
  await hook(eva.page, "order").waitFor();
  await hook(eva.page, "comment-text").fill(NOTE);
  await hook(eva.page, "comment-send").click();
  await hook(eva.page, "who-dialog").waitFor();
  await hook(eva.page, "who-name").fill(EVA);
  await hook(eva.page, "who-save").click();
  await hook(eva.page, "comments").filter({ hasText: "not yet on the box" }).waitFor();
  await ask("start-box");
  await hook(eva.page, "comments").filter({ hasText: "not yet on the box" }).waitFor({ state: "detached", timeout: 2 * DEADLINE_MS });
  const { comments } = await api(`/work-orders/${id}`);
  const there = comments.filter((comment) => comment.text === NOTE);
  assert.deepEqual(there.map((comment) => comment.by.name ?? comment.by), [EVA]);
  return orderPath;
}

/** What zbar, a reader that is not ours, reads in a picture of what the browser shows. */
async function readCodes(page, name) {
  const file = join(setting("CHATTERFIX_PICTURES"), `${name}.png`);
  await page.screenshot({ path: file });
  return execFileSync("zbarimg", ["--quiet", "--nodbus", "--raw", "-Sdisable", "-Sqrcode.enable", file], { encoding: "utf8" }).trim().split("\n");
}

/** The codes on the printed sheet, on a label of the smallest size and on the page of trust are read and lead where they should. */
async function codes(eva, orderPath) {
  const { page } = eva;
  await page.goto(`${secure}${orderPath}/print`);
  await hook(page, "sheet").locator("img").first().waitFor();
  await page.waitForFunction(() => [...document.images].every((image) => image.complete && image.naturalWidth > 0));
  const [code] = await readCodes(page, "code-sheet");
  assert.ok(code.startsWith(`${secure}/c/`), `the sheet's code says ${code}`);
  await page.setViewportSize({ width: LABEL_DOTS, height: LABEL_DOTS });
  await page.goto(`${secure}/api/v1/qr/work-orders/${orderPath.split("/").pop()}.svg`);
  assert.deepEqual(await readCodes(page, "code-label"), [code]);
  await page.setViewportSize(PHONE);
  await page.goto(code);
  await hook(page, "order").waitFor();
  assert.equal(new URL(page.url()).pathname, orderPath);
  await page.goto(`${plain}/trust`);
  await page.locator("svg").first().scrollIntoViewIfNeeded();
  assert.deepEqual(await readCodes(page, "code-trust"), [`${secure}/`]);
}

const started = Date.now();
let failed = null;
let eva = null;
try {
  await refusedWithout();
  const phone = await device(PHONE, { ...options, settle: await authority() });
  eva = { ...phone, page: await open(phone.context, "Eva's phone") };
  await plainSaysSo(eva);
  await trusted(eva);
  await codes(eva, await queued(eva));
} catch (error) {
  failed = error;
  await eva?.page.screenshot({ path: join(setting("CHATTERFIX_PICTURES"), "failed-trusted.png") }).catch(() => {});
}
await eva?.end();
end(failed, `a browser with the site's authority trusts the page by HTTPS, keeps it and what is entered while the box is gone, and delivers it; one without it refuses; zbar reads the codes of the sheet, a label of ${LABEL_DOTS} dots and the page of trust; ${checked()} pages without serious accessibility or policy problems, in ${Math.round((Date.now() - started) / 1000)} s`);
