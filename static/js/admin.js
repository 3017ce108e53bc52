"use strict";
// Below 1,400 pixels the admin's sidebar is closed until the reader opens it. Django's script reads the choice when it
// starts; the reader's own choice is stored by its button alone.
{
  const key = "django.admin.navSidebarIsOpen";
  if (localStorage.getItem(key) === null && window.matchMedia("(max-width: 1399px)").matches) {
    localStorage.setItem(key, "false");
    document.addEventListener("DOMContentLoaded", () => localStorage.removeItem(key));
  }
}
