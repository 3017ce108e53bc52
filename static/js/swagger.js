// Swagger UI reads the document whose address its page names.
"use strict";

const place = document.currentScript.dataset.document;

SwaggerUIBundle({
  url: place,
  dom_id: "#swagger",
  deepLinking: true,
  // The outside service that judges documents is not asked.
  validatorUrl: null,
});
