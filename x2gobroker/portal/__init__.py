"""The portal: pages on which users sign in and open sessions in the browser. The frontend `portal` has its routes."""
