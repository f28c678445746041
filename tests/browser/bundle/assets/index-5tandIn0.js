// Stands in for the deployed dashboard, which is no part of this repository. It makes the same kinds of calls
// (dashboard-api 1.2) and handles the answers the way 4.1 and 4.3 say that one does: what would blank that page throws here.

const BASE = location.origin + "/."; // what a build with VITE_API_URL=/. calls

async function call(path, { method = "GET", body } = {}) {
  const headers = { "Content-Type": "application/json" }; // on every call, and no other header
  const answer = await fetch(BASE + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const content = await answer.json(); // also of 2xx: an empty body is a failure
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${content.error}`);
  return content;
}

async function upload(path, name, content) {
  const body = new FormData();
  body.append("files", new File([content], name));
  const answer = await fetch(BASE + path, { method: "POST", body });
  const result = await answer.json();
  if (typeof (result.error ?? "") !== "string") throw new Error(`${path}: error is no text`);
  return { ...result, status: answer.status };
}

const number = (value, what) => {
  if (typeof value !== "number") throw new Error(`${what} is ${JSON.stringify(value)}, not a number`);
  return value;
};
const numbers = (item, ...names) => names.map((name) => number(item[name], name));
const optional = (item, ...names) => names.map((name) => item[name] === null || number(item[name], name));
const text = (item, ...names) => names.map((name) => item[name].toLowerCase());
const list = (value, what) => {
  if (!Array.isArray(value)) throw new Error(`${what} is no array`);
  return value;
};
const moment = (value) => {
  if (value !== null && (!value.endsWith("Z") || isNaN(new Date(value)))) throw new Error(`${value} is no time in UTC`);
  return value;
};
const all = (...paths) => Promise.all(paths.map((path) => call(path)));

const SCREENS = {
  async shell() {
    const [clients, stats, health] = await all("/api/admin/clients", "/api/admin/stats", "/api/admin/system-health");
    list(clients, "clients").forEach((c) => [text(c, "id", "name", "status"), numbers(c, "instances")]);
    numbers(stats, "totalAccounts", "agentsOnline", "agentsTotal", "poolsCovered", "totalSavings", "totalSwitches",
      "modelSwitches", "manualSwitches");
    health.modelStatus.activeModels.map((model) => `${model.name} v${model.version}`);
    const unread = list(await call("/api/notifications?limit=50"), "notifications").filter((n) => !n.isRead);
    return `${clients.length} clients, ${unread.length} unread, engine ${health.decisionEngineStatus.loaded}`;
  },
  async overview() {
    const [activity, stats, clients, growth] = await all("/api/admin/activity", "/api/admin/stats", "/api/admin/clients",
      "/api/admin/clients/growth?days=30");
    list(activity, "activity").forEach((a) => [text(a, "type", "text"), moment(a.time)]);
    list(growth, "growth").forEach((day) => [text(day, "date"), numbers(day, "count")]);
    clients.sort((a, b) => b.totalSavings - a.totalSavings);
    return `${(stats.totalSavings / 1000).toFixed(1)}k, ${activity.length} activities, ${growth.length} days`;
  },
  async clients() {
    const clients = list(await call("/api/admin/clients"), "clients");
    clients.forEach((c) => [text(c, "id", "name"), numbers(c, "instances", "agentsOnline", "agentsTotal", "totalSavings")]);
    return clients.map((c) => c.name).join(", ");
  },
  async agents() {
    const { agents } = await call("/api/admin/agents");
    list(agents, "agents").forEach((a) => [text(a, "id", "clientName", "status"), moment(a.lastHeartbeatAt)]);
    return agents.map((a) => a.id).join(", ");
  },
  async instances() {
    const { instances } = await call("/api/admin/instances?status=active&search=t3");
    list(instances, "instances").forEach((i) => [text(i, "id", "clientName", "currentMode"),
      optional(i, "spotPrice", "ondemandPrice")]);
    return instances.map((i) => `${i.id} ${i.spotPrice?.toFixed(4)}`).join(", ");
  },
  async activity() {
    return list(await call("/api/admin/activity"), "activity").map((a) => a.text).join(", ");
  },
  async health() {
    const [health, sessions] = await all("/api/admin/system-health", "/api/admin/ml-models/sessions");
    list(sessions, "sessions").forEach((session) => session.files.join(", "));
    await call("/health");
    return `${health.decisionEngineStatus.type} ${health.modelStatus.filesUploaded}`;
  },
  async client(id) {
    const [client, history, savings, charts] = await all(`/api/client/${id}`, `/api/client/${id}/switch-history`,
      `/api/client/${id}/savings?range=monthly`, `/api/client/${id}/stats/charts`);
    numbers(client, "instances", "agentsOnline", "agentsTotal", "totalSavings");
    list(history, "history").slice(0, 10).forEach((s) => [text(s, "instanceId", "trigger", "fromMode", "toMode"),
      moment(s.timestamp), s.savingsImpact.toFixed(4), s.price.toFixed(4)]);
    list(savings, "savings").forEach((row) => [text(row, "name"), numbers(row, "savings", "onDemandCost", "modelCost")]);
    charts.modeDistribution.map((part) => [text(part, "mode", "name"), numbers(part, "count")]);
    charts.savingsTrend.map((row) => numbers(row, "baseline", "actual", "savings"));
    charts.switchFrequency.map((day) => numbers(day, "switches"));
    return `${client.name}: ${history.length} switches, ${savings.length} months`;
  },
  async clientAgents(id) {
    const agents = list(await call(`/api/client/${id}/agents`), "agents");
    agents.forEach((a) => [text(a, "id", "status"), moment(a.lastHeartbeat), numbers(a, "instanceCount", "terminateWaitMinutes")]);
    return agents.map((a) => `${a.id} ${a.enabled ? "ON" : "OFF"}`).join(", ");
  },
  async clientInstances(id) {
    const instances = list(await call(`/api/client/${id}/instances?status=active`), "instances");
    instances.forEach((i) => [text(i, "id", "type", "mode", "poolId", "instanceStatus"), optional(i, "spotPrice", "onDemandPrice")]);
    return instances.map((i) => i.id).join(", ");
  },
  async instance(id) {
    const [instance] = await call(`/api/client/${id}/instances?status=active`);
    const at = `/api/client/instances/${instance.id}`;
    const [pricing, metrics, options] = await all(`${at}/pricing`, `${at}/metrics`, `${at}/available-options`);
    pricing.onDemand.price.toFixed(4);
    pricing.pools.forEach((pool) => [pool.price.toFixed(4), pool.savings.toFixed(1)]);
    numbers(metrics, "uptimeHours", "totalSwitches", "switchesLast7Days", "totalSavings", "spotPrice", "onDemandPrice");
    const prices = await call(`${at}/price-history?days=7&interval=hour`);
    prices.data.forEach((row) => prices.pools.forEach(({ key }) => row[key] === null || number(row[key], key)));
    return `${pricing.pools[0]?.id} cheapest of ${options.pools.length}, ${prices.data.length} hours`;
  },
  async replicas(id) {
    const replicas = list(await call(`/api/client/${id}/replicas`), "replicas");
    replicas.forEach(({ primary, replica }) => [primary.mode, replica.state_transfer_progress.toFixed(0), replica.cost.hourly]);
    return `${replicas.length} replicas`;
  },
  async models(id) {
    const agents = list(await call(`/api/client/${id}/agents/decisions`), "decisions");
    agents.forEach((a) => [text(a, "agentId", "agentName"), a.lastDecision.type, a.lastDecision.elapsed?.value,
      a.pricingHealth.recentReports.map((report) => numbers(report, "onDemandPrice", "spotPrice"))]);
    return agents.map((a) => `${a.agentName} ${a.pricingHealth.status}`).join(", ");
  },
  async drawer() {
    const items = list(await call("/api/notifications?limit=20"), "notifications");
    items.forEach((item) => [text(item, "id", "message", "severity"), moment(item.time)]);
    return items.map((item) => item.message).join(", ");
  },
};

async function show(name) {
  const screen = document.getElementById("screen");
  delete screen.dataset.shown;
  const id = new URLSearchParams(location.search).get("client");
  screen.textContent = await SCREENS[name](id).catch((error) => {
    console.error(`${name}: ${error.message}`);
    return `failed: ${error.message}`;
  });
  screen.dataset.shown = name;
}

for (const name of Object.keys(SCREENS)) {
  const button = Object.assign(document.createElement("button"), { id: name, textContent: name, onclick: () => show(name) });
  document.getElementById("screens").append(button);
}
Object.assign(window, { call, upload, exportCsv: (path) => window.open(BASE + path, "_blank") });
await show("shell");
