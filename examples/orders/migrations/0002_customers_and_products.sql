CREATE TABLE customers (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email       text NOT NULL UNIQUE,
    name        text NOT NULL CHECK (name <> ''),
    country     char(2) NOT NULL REFERENCES countries,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX customers_email_lower_idx ON customers (lower(email));
CREATE INDEX customers_name_idx ON customers (name text_pattern_ops);
CREATE INDEX customers_created_at_idx ON customers USING brin (created_at);

CREATE TABLE addresses (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id  bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
    label        text NOT NULL DEFAULT 'home',
    street       text NOT NULL,
    city         text NOT NULL,
    country      char(2) NOT NULL REFERENCES countries,
    UNIQUE (customer_id, label)
);

CREATE TABLE categories (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent_id  bigint REFERENCES categories ON DELETE SET NULL,
    name       text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (parent_id, name)
);

CREATE TABLE products (
    id           bigserial PRIMARY KEY,
    sku          text NOT NULL,
    name         text NOT NULL,
    category_id  bigint REFERENCES categories ON DELETE SET NULL,
    price        numeric(12, 2) NOT NULL CHECK (price >= 0),
    currency     char(3) NOT NULL DEFAULT 'EUR' REFERENCES currencies,
    active       boolean NOT NULL DEFAULT true,
    attributes   jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT products_sku_key UNIQUE (sku) INCLUDE (name)
);
CREATE INDEX products_active_price_idx ON products (price) WHERE active;
CREATE INDEX products_category_id_idx ON products (category_id);
CREATE INDEX products_attributes_idx ON products USING gin (attributes);

-- updated_at follows every change of a customer.
CREATE FUNCTION touch_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE TRIGGER customers_touch BEFORE UPDATE ON customers
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
