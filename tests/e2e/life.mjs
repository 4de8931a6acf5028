// The whole life of an alert and its order on the box's page at phone size, with the hub gone: people with PINs, steps with
// limits, parts of the stock, failure report, signature, a second person who verifies and closes, shelving, a new machine,
// sound, print; and entries that are bound to the person who made them. Run by the test `page_life` of tests/it.
//
// In:  CHATTERFIX_BOX, CHATTERFIX_PINS (JSON: [[name, pin], …]), CHATTERFIX_PICTURES.
// Out: "measured: …" at the end.

import assert from "node:assert/strict";
import { join } from "node:path";
import { checked, device, end, fits, hook, look, open, PHONE, setting, until } from "./kit.mjs";
import { startLine } from "./line.mjs";

const box = setting("CHATTERFIX_BOX");
const PINS = new Map(JSON.parse(setting("CHATTERFIX_PINS")));
const [EVA, JO, ANA] = PINS.keys();
const MACHINE = "P-248";

const line = await startLine(box);
const { context, end: close } = await device(PHONE);
const page = await open(context, "phone");
const on = (name, more = "") => hook(page, name, more);
const go = (path) => page.goto(line.address + path);

async function enter(name, pin = PINS.get(name)) {
  await on("who-person").filter({ hasText: name }).click();
  await on("pin").fill(pin);
  await on("pin-send").click();
}
async function signIn(name) {
  await on("who").click();
  await enter(name);
  await on("who").filter({ hasText: name }).waitFor();
  await on("who-dialog").waitFor({ state: "hidden" });
}
/** Waits until the order is as it should be; gives it back. */
const orderWhen = (what, id, right) =>
  until(what, async () => {
    const cookies = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
    const value = await (await fetch(`${box}/api/v1/work-orders/${id}`, { headers: { Cookie: cookies } })).json();
    return { value, right: right(value) };
  });

/** A wrong PIN is told; the alert is acknowledged in Eva's name. */
async function acknowledges() {
  await go("/alerts");
  await on("alert-card").waitFor();
  await look(page, "life-alerts");
  await on("acknowledge").click();
  await enter(EVA, "000000");
  await on("problem", '[data-code="wrong_pin"]').waitFor();
  await look(page, "life-wrong-pin");
  await on("pin").fill(PINS.get(EVA));
  await on("pin-send").click();
  await on("alert-card", '[data-state="acknowledged"]').waitFor();
  await on("alert-card").locator("h2 a").click();
  await on("action-shelve").click();
  await on("hold-reason").first().click();
  await look(page, "life-shelve");
  await fits(page, "life-shelve");
  await page.goBack();
}

/** The order: clock, steps, part, failure report, signature, done. */
async function works() {
  await go("/alerts");
  await on("alert-order").click();
  await on("order").waitFor();
  const id = new URL(page.url()).pathname.split("/").pop();
  await on("action-labour_start").click();
  await on("order", '[data-state="in_progress"]').waitFor();
  await on("clock").waitFor();
  await on("order-more").click();
  await on("action-checklist").click();
  await on("choose-offer").first().click();
  await on("checklist").waitFor();
  await on("step-good").click();
  await on("step", '[data-good="true"]').waitFor();
  await on("step-number").fill("96.5");
  await on("step-verdict").filter({ hasText: "Above 80" }).waitFor();
  await look(page, "life-step");
  await on("step-send").click();
  await on("step", '[data-good="false"]').waitFor();
  await on("step-choice").first().click();
  await on("step-photo").setInputFiles({ name: "seal.png", mimeType: "image/png", buffer: await page.screenshot() });
  await on("steps-left").filter({ hasText: "all 4 done" }).waitFor();
  await on("action-part").click();
  await on("field-part").fill("grease");
  await on("part-offer").first().click();
  await look(page, "life-part");
  await on("send-part").click();
  await on("part").waitFor();
  await on("action-failure").click();
  await on("failure-problem").filter({ hasText: "Overheats" }).click();
  await on("failure-cause").filter({ hasText: "Too little grease" }).click();
  await on("field-remedy").fill("Greased, seal is dry");
  await look(page, "life-failure");
  await fits(page, "life-failure");
  await on("send-failure").click();
  await on("failure").filter({ hasText: "Overheats" }).waitFor();
  await on("action-sign").click();
  await on("sign-pin").fill(PINS.get(EVA));
  await look(page, "life-sign");
  await on("send-sign").click();
  await on("signature", '[data-holds="true"]').waitFor();
  await on("action-complete").click();
  await on("field-remedy").fill("Greased");
  await on("send-complete").click();
  await on("order", '[data-state="done"]').waitFor();
  await look(page, "life-done");
  await fits(page, "life-done");
  const order = await orderWhen("the order is done", id, (order) => order.state === "done");
  assert.deepEqual([order.tasks_total, order.tasks_open, order.tasks_failed, order.signatures.length, order.attachments.length], [4, 0, 1, 1, 1]);
  assert.deepEqual([order.failure.problem_code, order.failure.cause_code], ["OHE", "LUB"]);
  assert.equal(order.labour.length, 1, "the clock has not stopped once");
  await on("order-more").click();
  await on("print").click();
  await on("sheet").waitFor();
  await look(page, "life-print");
  await page.pdf({ path: join(setting("CHATTERFIX_PICTURES"), "life-print.pdf"), format: "A4" });
  return id;
}

/** What Eva enters without network waits for her, also while Jo holds the phone; Jo verifies and closes in his name. */
async function handsOver(id) {
  await go(`/work/${id}`);
  await on("order").waitFor();
  await line.cut();
  await on("comment-text").fill("The grease gun is empty now");
  await on("comment-send").click();
  await on("comments").filter({ hasText: "not yet on the box" }).waitFor();
  await on("who").click();
  await on("sign-out").click();
  await line.restore();
  await on("phone-waiting").filter({ hasText: EVA }).waitFor();
  await look(page, "life-waits-for-eva");
  await signIn(JO);
  await on("action-verify").click();
  await on("send-verify").click();
  await on("action-close").waitFor();
  await on("action-close").click();
  await on("send-close").click();
  await on("order", '[data-state="closed"]').waitFor();
  const closed = await orderWhen("the order is closed", id, (order) => order.state === "closed");
  assert.deepEqual([closed.verified_by, closed.comments.length], [JO, 0], "Eva's note went without her");
  await on("sign-in-for-waiting").click();
  await enter(EVA);
  await on("phone-waiting").waitFor({ state: "detached" });
  const noted = await orderWhen("Eva's note is there", id, (order) => order.comments.length === 1);
  assert.equal(noted.comments[0].by, EVA);
}

/** Shelved by Eva, out of service by an engineer only, told again; a machine that no list has. */
async function holdsBack() {
  await go("/alerts");
  await on("alert-card").locator("h2 a").first().click();
  await on("action-shelve").waitFor();
  assert.equal(await on("action-out-of-service").count(), 0, "a technician may not take an alarm out of service");
  await on("action-shelve").click();
  await on("hold-reason").first().click();
  await on("send-shelve").click();
  await on("unshelve").waitFor();
  await go("/alerts");
  await on("held-back").locator("summary").click();
  await on("held-point").waitFor();
  await look(page, "life-held");
  await fits(page, "life-held");
  await on("unshelve").click();
  await on("alert-card").waitFor();
  await signIn(ANA);
  await on("alert-card").locator("h2 a").first().click();
  await on("action-out-of-service").waitFor();
  await on("to-load").waitFor({ state: "detached" });
  await go("/alerts/load");
  await on("load").waitFor();
  await look(page, "life-load");
  await fits(page, "life-load");
  await go("/plant/new");
  await on("field-tag").fill(MACHINE);
  await on("field-name").fill("Condensate pump");
  await on("field-parent").fill("HALL-2");
  await look(page, "life-new-machine");
  await on("send-new-asset").click();
  await on("asset", `[data-tag="${MACHINE}"]`).waitFor();
  await go("/plant");
  await on("assets").waitFor();
  await on("asset-row").filter({ hasText: MACHINE }).waitFor();
  await look(page, "life-plant");
  await fits(page, "life-plant");
  await go("/asset/P-247");
  await on("asset-alerts").waitFor();
  await on("live-value").first().waitFor();
  await look(page, "life-machine");
  await fits(page, "life-machine");
}

/** Sound is heard after a press, and stops when somebody acknowledges; channels; the help to trust the box. */
async function isHeard() {
  await go("/more");
  await on("sound-on").click();
  await on("sound-test-critical").click();
  await on("sound-test-high").click();
  await on("sound-on", '[aria-pressed="true"]').waitFor();
  await look(page, "life-more");
  await fits(page, "life-more");
  await go("/more/channels");
  await on("empty").first().waitFor();
  await look(page, "life-channels");
  await go("/trust");
  await page.locator("h1").waitFor();
  await look(page, "life-trust");
  await fits(page, "life-trust");
}

const started = Date.now();
let failed = null;
try {
  await acknowledges();
  const id = await works();
  await handsOver(id);
  await holdsBack();
  await isHeard();
} catch (error) {
  failed = error;
  await page.screenshot({ path: join(setting("CHATTERFIX_PICTURES"), "failed-life.png") }).catch(() => {});
}
await close();
line.end();
end(failed, `an order from alert to closed by three people with PINs and no hub; ${checked()} pages without serious accessibility or policy problems, in ${Math.round((Date.now() - started) / 1000)} s`);
