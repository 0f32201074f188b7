// Nothing but the page (the plan, the namespaces).

export default { render: page };
