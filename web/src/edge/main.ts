// Entry of the box's page: styles, theme, the phone's storage, then the app.
import "../shared/tokens.css";
import "../shared/base.css";
import "../shared/parts.css";
import "./edge.css";
import { mount } from "svelte";
import { rememberIn } from "../shared/load.svelte";
import { startTheme } from "../shared/theme.svelte";
import App from "./App.svelte";
import { phoneMemory } from "./memory";
import { startQueue } from "./outbox.svelte";
import { startPage } from "./page.svelte";

startTheme();
rememberIn(phoneMemory);
void startQueue();
void startPage();
const target = document.getElementById("app");
if (target) mount(App, { target });
