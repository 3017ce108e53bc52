"use strict";
// Below 1,400 pixels the admin's sidebar is closed until the user opens it. Django's script reads this entry when it
// starts; only its button stores the user's own choice.
{
  const key = "django.admin.navSidebarIsOpen";
  if (localStorage.getItem(key) === null && window.matchMedia("(max-width: 1399px)").matches) {
    localStorage.setItem(key, "false");
    document.addEventListener("DOMContentLoaded", () => localStorage.removeItem(key));
  }
}
