// Entry of the hub's page: styles, theme, then the app.
import "../shared/tokens.css";
import "../shared/base.css";
import "../shared/parts.css";
import "./hub.css";
import { mount } from "svelte";
import App from "./App.svelte";
import { startTheme } from "../shared/theme.svelte";

startTheme();
const target = document.getElementById("app");
if (target) mount(App, { target });
