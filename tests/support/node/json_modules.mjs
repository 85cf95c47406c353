// The packages import their schemas as JSON without saying so, which Node refuses ("needs an import attribute of type:
// json"): a loader hook says it for them (https://nodejs.org/api/module.html#customization-hooks).
export async function resolve(specifier, context, next) {
  const found = await next(specifier, context);
  return found.url.endsWith(".json") ? { ...found, importAttributes: { type: "json" } } : found;
}

export async function load(url, context, next) {
  return next(url, url.endsWith(".json") ? { ...context, importAttributes: { type: "json" } } : context);
}
