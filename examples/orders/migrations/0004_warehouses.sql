-- Later changes reference tables that are there already, and existing tables get new keys.

CREATE TABLE warehouses (
    code     text PRIMARY KEY,
    city     text NOT NULL,
    country  char(2) NOT NULL REFERENCES countries
);

CREATE TABLE stock (
    warehouse   text NOT NULL REFERENCES warehouses ON UPDATE CASCADE,
    product_id  bigint NOT NULL REFERENCES products ON DELETE CASCADE,
    quantity    integer NOT NULL DEFAULT 0 CHECK (quantity >= 0),
    PRIMARY KEY (warehouse, product_id)
);

ALTER TABLE orders ADD COLUMN warehouse text;
ALTER TABLE orders ADD CONSTRAINT orders_warehouse_fkey
    FOREIGN KEY (warehouse) REFERENCES warehouses (code) ON UPDATE CASCADE;
