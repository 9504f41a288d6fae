// Keeps a run's page in step with its <job-progress>, and goes on to the result when there is one.
const element = document.querySelector("job-progress");
const card = document.querySelector(".card");
const title = document.querySelector("h1");
const TITLES = JSON.parse(card.dataset.titles);

/** @param {CustomEvent} event */
function show({ detail: { snapshot } }) {
  if (!snapshot) return;
  card.className = `card ${snapshot.state}`;
  title.textContent = TITLES[snapshot.state];
}

/** The result's address brings a fresh access token, where one is needed to see this page again. @param {CustomEvent} event */
function go({ detail: { snapshot } }) {
  if (snapshot.result_url) location.replace(location.pathname + new URL(snapshot.result_url, location.href).search);
}

for (const name of ["job-progress", "job-success", "job-failure", "job-cancelled"]) element.addEventListener(name, show);
element.addEventListener("job-success", go);
