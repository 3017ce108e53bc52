// Swagger UI for the document whose address is in the page.
"use strict";

const place = document.currentScript.dataset.document;

SwaggerUIBundle({
  url: place,
  dom_id: "#swagger",
  deepLinking: true,
  // Do not send the document to the external validator.
  validatorUrl: null,
});
